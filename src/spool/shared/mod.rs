//! The spool that several gateways share.

mod carried;
mod index;
mod key;
mod record;
mod subject;
#[cfg(test)]
mod tests;
