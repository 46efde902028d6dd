use super::*;

#[test]
fn a_waiting_session_is_small() {
    let session = size_of::<SmtpServer>();
    let in_line = size_of::<Candidate>() + size_of::<Submission>();
    let held = size_of::<Withheld>() + size_of::<Submission>();
    assert!(session <= 560, "{session} octets");
    assert!(in_line <= 300 && held <= 300, "{in_line} and {held} octets");
    assert!(size_of::<State>() <= 24, "{} octets", size_of::<State>());
}
