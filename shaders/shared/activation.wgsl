// Shared by kernels with an epilogue: y = activation(x), a quad at a time. Twin: src/reference/activation.rs
// `kernels::activation_code` gives each activation its number.

override ACTIVATION: u32 = 0u;

// erf with an error below 2e-7: two minimax polynomials after N. Juffa, joined at 0.9277.
fn erf(x: vec4<f32>) -> vec4<f32> {
    let a = min(abs(x), vec4<f32>(4.0)); // erf(4) rounds to 1
    let s = a * a;
    var near = -5.96761703e-4 * s + 4.99119423e-3;
    near = near * s - 2.67681349e-2;
    near = near * s + 1.12819925e-1;
    near = near * s - 3.76125336e-1;
    near = near * s + 1.28379166e-1;
    near = near * a + a;
    var far = (-1.72853470e-5 * a + 3.83197126e-4) * s + (-3.88396438e-3 * a + 2.42546219e-2);
    far = far * a - 1.06777877e-1;
    far = far * a - 6.34846687e-1;
    far = far * a - 1.28717512e-1;
    far = 1.0 - exp(far * a - a);
    return sign(x) * select(near, far, a > vec4<f32>(0.927734375));
}

// 1 / (1 + e^-x); the exponent is held below e^80, which f32 still holds.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(min(-x, vec4<f32>(80.0))));
}

fn activate(x: vec4<f32>) -> vec4<f32> {
    switch ACTIVATION {
        case 1u: { return x * sigmoid(1.702 * x); }
        case 2u: { return 0.5 * x * (1.0 + erf(x * 0.7071067811865476)); }
        // tanh(u) = 2 sigmoid(2u) - 1
        case 3u: { return x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x)); }
        case 4u: { return max(x, vec4<f32>(0.0)); }
        case 5u: { return clamp(x, vec4<f32>(0.0), vec4<f32>(6.0)); }
        default: { return x; }
    }
}
