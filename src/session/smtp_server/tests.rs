use super::*;

#[test]
fn a_waiting_session_is_small() {
    let size = size_of::<SmtpServer>();
    assert!(size <= 720, "{size} octets");
    assert!(size_of::<State>() <= 24, "{} octets", size_of::<State>());
}
