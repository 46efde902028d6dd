//! Files in a Maildir.
