//! All that needs `unsafe`: four system calls, and the memories shared with the kernel. Each function is safe to call with any
//! arguments its types allow.

mod frames;
mod mapping;
mod messages;
mod options;

pub(crate) use frames::Frames;
pub(crate) use mapping::Mapping;
pub(crate) use messages::{Address, Messages};
pub(crate) use options::{bind_to_link, set_option, statistics};
