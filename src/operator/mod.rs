//! Floor 4: what kubectl does.
