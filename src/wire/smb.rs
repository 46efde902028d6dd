//! The SMB header and SMB_COM_TRANSACTION (MS-CIFS §2.2.3.1, §2.2.4.33).
