//! A manager of nothing, for the engine's own tests.

use std::io;

use crate::{ConnectContext, Manager};

pub(super) struct Nothing;

impl Manager for Nothing {
    type Connection = ();
    type Error = io::Error;

    async fn connect(&self, _: &ConnectContext) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn ping(&self, (): &mut ()) -> Result<(), Self::Error> {
        Ok(())
    }
}
