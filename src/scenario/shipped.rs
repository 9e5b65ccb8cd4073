//! The scenarios that the program brings along.

/// A shipped scenario.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal: $about:literal,)*) => {
        const SHIPPED: &[Shipped] = &[$(
            Shipped { name: $name, about: $about, text: include_str!(concat!("../../scenarios/", $name, ".json")) },
        )*];
    };
}
shipped! {
    "node-failure": "a node loses power: detection after a minute, replacement after six",
}

/// All of them, the main one first.
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}
