//! The methods, noun by noun.

mod access;
mod clusters;
mod hosts;
mod images;
mod networks;
pub(crate) mod owned;
mod system;
mod templates;
mod users;
mod vm_devices;
mod vm_groups;
mod vm_pools;
mod vm_templates;
mod vms;

use crate::codes::Failure;
use crate::request::Request;
use crate::xmlrpc::Answer;
use std::future::Future;
use std::pin::Pin;

/// What a method that changes something gives back.
pub(crate) type Changing<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// How a method is run.
pub(crate) enum Run {
    /// It reads one consistent picture and waits for nothing.
    Read(for<'a> fn(&'a Request<'a>) -> Result<Answer, Failure>),
    /// It changes something, or waits.
    Change(for<'a> fn(&'a Request<'a>) -> Changing<'a>),
}

/// One method.
pub(crate) struct Method {
    /// Its full name.
    pub(crate) name: &'static str,
    /// How it is run.
    pub(crate) run: Run,
}

/// Writes a table of methods: `read "one.x.info" => function, change "one.x.update" => async_function`.
macro_rules! methods {
    ($($kind:ident $name:literal => $function:expr,)*) => {
        pub(crate) const METHODS: &[$crate::methods::Method] = &[
            $($crate::methods::Method { name: $name, run: $crate::methods::methods!(@$kind $function) },)*
        ];
    };
    (@read $function:expr) => { $crate::methods::Run::Read(|request| $function(request)) };
    (@change $function:expr) => { $crate::methods::Run::Change(|request| Box::pin($function(request))) };
}
pub(crate) use methods;

/// Every table of methods.
const TABLES: &[&[Method]] = &[
    access::METHODS,
    clusters::METHODS,
    hosts::METHODS,
    images::METHODS,
    networks::METHODS,
    system::METHODS,
    templates::METHODS,
    users::METHODS,
    vm_devices::METHODS,
    vm_groups::METHODS,
    vm_pools::METHODS,
    vm_templates::METHODS,
    vms::METHODS,
];

/// Every method.
pub(crate) fn all() -> impl Iterator<Item = &'static Method> {
    TABLES.iter().flat_map(|table| table.iter())
}
