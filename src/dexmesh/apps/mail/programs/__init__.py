"""Write the configuration of other people's mail programs for one node: text from values, no I/O.

Place     cli/setup.py gathers the facts -> here -> text to print or to keep in a file
Spec      docs/apps/mail.md §3
Keeps     every line was tried with the real program; what a program cannot do is said, not hidden
Not here  running a program, reading a file (cli/setup_facts.py)
"""
