//! What is checked of a batch before it is appended, and what is stamped on it.
