// patch_embed: y[image, token] = bias + position[token] + sum over (row, col, channel) of pixels * weight
//
// Why its own kernel: patches are read in place, and the class token and positions are added on the way.
// Shapes  pixels [n_images, image_size, image_size, 3]  weight [width, patch_size^2 * 3], packed as f32
//         bias, class_token [width]  position [n_tokens, width]  y [n_images, n_tokens, width];
//         n_tokens = patches + 1 with a class token (row 0), else patches.
// Launch  (ceil(n_quads / 16), ceil(n_images * n_patches / 16), 1) workgroups of 16 quads by 4 groups of 4 patches.
// Twin    src/reference/patch_embed.rs

struct Params {
    n_images: u32,
    image_size: u32,
    patch_size: u32,
    width: u32,
    has_bias: u32,
    has_class: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> pixels: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> class_token: array<f32>;
@group(0) @binding(5) var<storage, read> position: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

// Index of a patch's first value.
fn patch_start(patch_idx: u32, grid: u32) -> u32 {
    let image = patch_idx / (grid * grid);
    let row = patch_idx / grid % grid;
    let col = patch_idx % grid;
    let pixel = (image * params.image_size + row * params.patch_size) * params.image_size + col * params.patch_size;
    return pixel * 3u;
}

fn store(patch_idx: u32, n_patches: u32, quad: u32, sum: vec4<f32>) {
    if patch_idx >= params.n_images * n_patches {
        return;
    }
    let image = patch_idx / n_patches;
    let token = patch_idx % n_patches + params.has_class;
    let n_tokens = n_patches + params.has_class;
    let width = params.width;
    for (var j = 0u; j < min(4u, width - 4u * quad); j++) {
        let col = 4u * quad + j;
        y[(image * n_tokens + token) * width + col] = sum[j] + position[token * width + col];
        if token == 1u && params.has_class != 0u {
            y[image * n_tokens * width + col] = class_token[col] + position[col];
        }
    }
}

@compute @workgroup_size(16, 4)
fn patch_embed(@builtin(global_invocation_id) id: vec3<u32>) {
    let grid = params.image_size / params.patch_size;
    let n_patches = grid * grid;
    let n_quads = (params.width + 3u) / 4u;
    let quad = id.x;
    let patch0 = id.y * 4u;
    let last = params.n_images * n_patches - 1u;
    if quad >= n_quads || patch0 > last {
        return;
    }
    // Patches behind the last one read the last one again; their sums are not stored.
    var p0 = patch_start(patch0, grid);
    var p1 = patch_start(min(patch0 + 1u, last), grid);
    var p2 = patch_start(min(patch0 + 2u, last), grid);
    var p3 = patch_start(min(patch0 + 3u, last), grid);
    var sum0 = vec4<f32>(0.0);
    if params.has_bias != 0u {
        sum0 = bias[quad];
    }
    var sum1 = sum0;
    var sum2 = sum0;
    var sum3 = sum0;
    var w = quad;
    let run = params.patch_size * 3u;
    for (var row = 0u; row < params.patch_size; row++) {
        for (var i = 0u; i < run; i++) {
            let weights = weight[w];
            w += n_quads;
            sum0 += pixels[p0 + i] * weights;
            sum1 += pixels[p1 + i] * weights;
            sum2 += pixels[p2 + i] * weights;
            sum3 += pixels[p3 + i] * weights;
        }
        let step = params.image_size * 3u;
        p0 += step;
        p1 += step;
        p2 += step;
        p3 += step;
    }
    store(patch0, n_patches, quad, sum0);
    store(patch0 + 1u, n_patches, quad, sum1);
    store(patch0 + 2u, n_patches, quad, sum2);
    store(patch0 + 3u, n_patches, quad, sum3);
}
