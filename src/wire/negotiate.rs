//! SMB_COM_NEGOTIATE, as far as one needs it who serves no files (MS-CIFS §2.2.4.52).

use super::smb::{Header, Status};

/// Writes the answer to the request with the header `request` that takes none of its dialects: DialectIndex FFFF.
pub fn emit_no_dialect(request: Header, out: &mut Vec<u8>) {
    request.reply(Status::SUCCESS).emit(out);
    out.extend_from_slice(&[1, 0xFF, 0xFF, 0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::smb::Command;

    #[test]
    fn the_answer_repeats_the_request_and_names_no_dialect() {
        let request = Header { pid_low: 0x1234, mid: 1, ..Header::new(Command::NEGOTIATE) };
        let mut out = Vec::new();
        emit_no_dialect(request, &mut out);
        assert_eq!((out.len(), out[4], out[9]), (37, 0x72, Header::REPLY));
        assert_eq!(out[32..], [1, 0xFF, 0xFF, 0, 0]);
    }
}
