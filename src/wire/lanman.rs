//! `\MAILSLOT\LANMAN` announcements.
