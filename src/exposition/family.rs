//! What a family of series is, and how each noun declares its own.

/// Series of one name.
#[derive(Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// The whole name. It ends in the unit, if there is one, and in `_total` if it is a counter.
    pub name: &'a str,
    pub kind: Kind,
    /// In the order they are written.
    pub labels: &'a [&'a str],
    pub help: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// Always 1; the labels carry the information. The classic format has no such kind and calls it a gauge.
    Info,
}

/// Declares families as statics, and `FAMILIES`, a list of them in the order they are declared and written in.
macro_rules! families {
    ($($ident:ident = $kind:ident($name:literal, [$($label:literal),*], $help:literal);)*) => {
        $(static $ident: $crate::exposition::Family<'static> = $crate::exposition::Family {
            name: concat!("proxymeter_", $name),
            kind: $crate::exposition::Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        pub(in $crate::exposition) static FAMILIES: &[&$crate::exposition::Family<'static>] = &[$(&$ident),*];
    };
}
pub(super) use families;
