//! `\MAILSLOT\BROWSE` announcements and elections (MS-BRWS §2.2).
