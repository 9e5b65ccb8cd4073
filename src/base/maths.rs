//! Floating-point functions with the same bits on every platform: `libm`, never the platform's own.

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}
pub fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
/// Square root; IEEE 754 requires it to be exactly rounded, so the hardware's is the same everywhere.
pub fn sqrt(x: f64) -> f64 {
    libm::sqrt(x)
}

/// The inverse of the standard normal distribution function, by Acklam's rational approximation (relative error below 1.2e-9).
///
/// `p` must lie strictly between 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] =
        [-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1, 2.506628277459239];
    const B: [f64; 5] = [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] =
        [-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    const LOW: f64 = 0.02425;

    let tail = |q: f64| {
        (((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5]) / ((((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1.0)
    };
    debug_assert!(p > 0.0 && p < 1.0);
    if p < LOW {
        tail(sqrt(-2.0 * ln(p)))
    } else if p > 1.0 - LOW {
        -tail(sqrt(-2.0 * ln(1.0 - p)))
    } else {
        let q = p - 0.5;
        let r = q * q;
        (((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5]) * q
            / (((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (p, wanted) in [(0.5, 0.0), (0.975, 1.959963984540054), (0.01, -2.326347874040841), (0.9999, 3.719016485455709)] {
            assert!((normal_quantile(p) - wanted).abs() < 1e-7, "{p}");
        }
    }
}
