// Shared by the linear kernels: a weight matrix as `kernels::pack` lays it out, widened in registers.
//
// A word holds V consecutive k of one column, lowest bits first: V = 1 (f32), 2 (f16), 4 (q8_0), 8 (q4_0).
// Four columns, a quad, are a vec4; quads of one k stand side by side, so that neighbouring threads read
// neighbouring memory: weight[k / V][quad]. 32 k of a column share a scale: scales[k / 32][quad].

const F32: u32 = 0u;
const F16: u32 = 1u;
const Q8: u32 = 2u;
const Q4: u32 = 3u;
override WEIGHT_FORMAT: u32 = 0u;

// The signed byte at bit `shift` of each word.
fn signed_byte(words: vec4<u32>, shift: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(words << vec4<u32>(24u - shift)) >> vec4<u32>(24u));
}

// The nibble at bit `shift` of each word, less 8.
fn signed_nibble(words: vec4<u32>, shift: u32) -> vec4<f32> {
    return vec4<f32>((words >> vec4<u32>(shift)) & vec4<u32>(15u)) - 8.0;
}

// Rows 4 k4 to 4 k4 + 3 of a quad: column j of the result is row 4 k4 + j, so that `tile * x` sums over k.
fn weight_tile(k4: u32, quad: u32, n_quads: u32) -> mat4x4<f32> {
    switch WEIGHT_FORMAT {
        case F16: {
            let lo = weight[2u * k4 * n_quads + quad];
            let hi = weight[(2u * k4 + 1u) * n_quads + quad];
            let k01 = mat4x2<f32>(unpack2x16float(lo.x), unpack2x16float(lo.y), unpack2x16float(lo.z), unpack2x16float(lo.w));
            let k23 = mat4x2<f32>(unpack2x16float(hi.x), unpack2x16float(hi.y), unpack2x16float(hi.z), unpack2x16float(hi.w));
            let a = transpose(k01);
            let b = transpose(k23);
            return mat4x4<f32>(a[0], a[1], b[0], b[1]);
        }
        case Q8: {
            let words = weight[k4 * n_quads + quad];
            let scale = scales[(k4 / 8u) * n_quads + quad];
            return mat4x4<f32>(
                signed_byte(words, 0u) * scale,
                signed_byte(words, 8u) * scale,
                signed_byte(words, 16u) * scale,
                signed_byte(words, 24u) * scale,
            );
        }
        case Q4: {
            let words = weight[(k4 / 2u) * n_quads + quad] >> vec4<u32>((k4 & 1u) * 16u);
            let scale = scales[(k4 / 8u) * n_quads + quad];
            return mat4x4<f32>(
                signed_nibble(words, 0u) * scale,
                signed_nibble(words, 4u) * scale,
                signed_nibble(words, 8u) * scale,
                signed_nibble(words, 12u) * scale,
            );
        }
        default: {
            let i = 4u * k4 * n_quads + quad;
            return mat4x4<f32>(
                bitcast<vec4<f32>>(weight[i]),
                bitcast<vec4<f32>>(weight[i + n_quads]),
                bitcast<vec4<f32>>(weight[i + 2u * n_quads]),
                bitcast<vec4<f32>>(weight[i + 3u * n_quads]),
            );
        }
    }
}
