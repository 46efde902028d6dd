//! Mailslot writes (MS-MAIL §2.2.1).
