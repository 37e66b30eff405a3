"""Write the configuration of other people's phones for one node: text from values, no I/O.

Place     cli/setup_phones.py gathers the facts -> here -> text to print or to keep in a file
Spec      docs/apps/sip.md §2, §4
Keeps     every line was tried with the real program; what a program cannot do is said, not hidden
Not here  running a program, reading a file (cli/setup_phone_facts.py)
"""
