//! [`SslMode`]: how TLS is used, in libpq's words.

use crate::term::words;

words! {
    /// How TLS is used, from the weakest to the strongest. The words are libpq's; MySQL's
    /// (`disabled`, `preferred`, `required`, `verify-identity`) are read as well.
    SslMode:
        /// Never.
        Disable = "disable" | "disabled",
        /// Only if the server takes nothing else.
        Allow = "allow",
        /// If the server has it.
        Prefer = "prefer" | "preferred",
        /// Always; whose certificate it is, is not checked.
        Require = "require" | "required",
        /// Always, and the certificate is signed by somebody who is trusted.
        VerifyCa = "verify-ca",
        /// Always, and the certificate is for this host as well.
        VerifyFull = "verify-full" | "verify-identity",
}
