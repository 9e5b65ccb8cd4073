//! Floor 7: `Record` to CSV, PNG, text.
