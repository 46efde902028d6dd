//! Messenger texts: `\MAILSLOT\MESSNGR`, and the SMBs of `net send` sessions (MS-MSRP §2.2).
