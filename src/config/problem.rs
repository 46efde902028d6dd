//! What is wrong with a configuration, where, and how to mend it.
