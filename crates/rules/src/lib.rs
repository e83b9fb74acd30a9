//! Rule sets over events and hosts: which events become alerts. Pure.
