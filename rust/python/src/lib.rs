//! PyO3 and nothing else.
