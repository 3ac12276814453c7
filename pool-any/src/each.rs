//! The same for each backend that is there.
//!
//! Every type of this crate that is one of several is an enum with a variant for each backend,
//! there with its feature; and with no feature at all one that cannot be, so that it still
//! compiles.

/// An enum with a variant for each backend, named as the backend.
macro_rules! one_of {
    (
        $(#[$attribute:meta])*
        $name:ident $(<$life:lifetime>)? { $sqlite:ty, $postgres:ty, $mysql:ty }
    ) => {
        $(#[$attribute])*
        pub(crate) enum $name $(<$life>)? {
            #[cfg(feature = "sqlite")]
            Sqlite($sqlite),
            #[cfg(feature = "postgres")]
            Postgres($postgres),
            #[cfg(feature = "mysql")]
            MySql($mysql),
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            #[allow(dead_code)]
            Never(std::convert::Infallible, std::marker::PhantomData<$(&$life)? ()>),
        }
    };
}

/// Does the same with whichever it is.
macro_rules! each {
    ($of:ident, $one:expr, $it:ident => $do:expr) => {
        match $one {
            #[cfg(feature = "sqlite")]
            $of::Sqlite($it) => $do,
            #[cfg(feature = "postgres")]
            $of::Postgres($it) => $do,
            #[cfg(feature = "mysql")]
            $of::MySql($it) => $do,
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            $of::Never(never, _) => match never {
                #[allow(unreachable_patterns)]
                _ => unreachable!("it cannot be"),
            },
        }
    };
}

/// The same, and makes one of another such enum of what comes out.
macro_rules! each_into {
    ($of:ident, $one:expr, $it:ident => $into:ident($do:expr)) => {
        match $one {
            #[cfg(feature = "sqlite")]
            $of::Sqlite($it) => $into::Sqlite($do),
            #[cfg(feature = "postgres")]
            $of::Postgres($it) => $into::Postgres($do),
            #[cfg(feature = "mysql")]
            $of::MySql($it) => $into::MySql($do),
            #[cfg(not(any(feature = "mysql", feature = "postgres", feature = "sqlite")))]
            $of::Never(never, _) => match never {
                #[allow(unreachable_patterns)]
                _ => unreachable!("it cannot be"),
            },
        }
    };
}

/// The way to the backend's own.
macro_rules! downcasts {
    ($(#[$doc:meta])* $of:ident, $sqlite:ty, $postgres:ty, $mysql:ty) => {
        $(#[$doc])*
        #[cfg(feature = "sqlite")]
        #[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
        pub fn as_sqlite(&self) -> Option<&$sqlite> {
            #[allow(unreachable_patterns)]
            match &self.0 {
                $of::Sqlite(it) => Some(it),
                _ => None,
            }
        }

        $(#[$doc])*
        #[cfg(feature = "postgres")]
        #[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
        pub fn as_postgres(&self) -> Option<&$postgres> {
            #[allow(unreachable_patterns)]
            match &self.0 {
                $of::Postgres(it) => Some(it),
                _ => None,
            }
        }

        $(#[$doc])*
        #[cfg(feature = "mysql")]
        #[cfg_attr(docsrs, doc(cfg(feature = "mysql")))]
        pub fn as_mysql(&self) -> Option<&$mysql> {
            #[allow(unreachable_patterns)]
            match &self.0 {
                $of::MySql(it) => Some(it),
                _ => None,
            }
        }
    };
}

/// The same, to change it.
macro_rules! downcasts_mut {
    ($(#[$doc:meta])* $of:ident, $sqlite:ty, $postgres:ty, $mysql:ty) => {
        $(#[$doc])*
        #[cfg(feature = "sqlite")]
        #[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
        pub fn as_sqlite_mut(&mut self) -> Option<&mut $sqlite> {
            #[allow(unreachable_patterns)]
            match &mut self.0 {
                $of::Sqlite(it) => Some(it),
                _ => None,
            }
        }

        $(#[$doc])*
        #[cfg(feature = "postgres")]
        #[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
        pub fn as_postgres_mut(&mut self) -> Option<&mut $postgres> {
            #[allow(unreachable_patterns)]
            match &mut self.0 {
                $of::Postgres(it) => Some(it),
                _ => None,
            }
        }

        $(#[$doc])*
        #[cfg(feature = "mysql")]
        #[cfg_attr(docsrs, doc(cfg(feature = "mysql")))]
        pub fn as_mysql_mut(&mut self) -> Option<&mut $mysql> {
            #[allow(unreachable_patterns)]
            match &mut self.0 {
                $of::MySql(it) => Some(it),
                _ => None,
            }
        }
    };
}
