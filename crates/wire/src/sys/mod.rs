//! All that needs `unsafe`: four system calls, and the memory shared with the kernel. Each function is safe to call with any
//! arguments its types allow.

mod mapping;
mod messages;
mod options;

pub(crate) use mapping::Mapping;
pub(crate) use messages::{Address, Messages};
pub(crate) use options::{bind_to_link, set_option, statistics};
