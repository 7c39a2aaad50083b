// attention: y[i, head] = sum over j of softmax_j(scale * <q[i, head], k[j, head]>) * v[j, head]
//
// Why its own kernel: scores never leave the workgroup; one pass over the keys with a running maximum.
//         A thread owns one (query, quad of the head's columns) of the result, so that the sums stay in
//         registers for any head size: min(64 / dim4, 16) queries a workgroup. Each exponential is taken once
//         and shared, by the thread of its key.
// Shapes  q, k, v: columns of row-major matrices (stride and offset in quads)  y [rows, n_heads * 4 * dim4].
//         tiles: (first query row, n_queries, first key row, end of the first query's keys).
// Launch  (n_tiles, n_heads, 1) workgroups of 64; keys in chunks of 64.
// Needs   head_dim, strides and offsets divisible by 4; head_dim <= 256; n_queries <= min(64 / dim4, 16);
//         with `key_step` 1 (causal) each next query of a tile sees one key more.
// Twin    src/reference/attention.rs

struct Params {
    dim4: u32,
    n_heads: u32,
    q_stride4: u32,
    q_offset4: u32,
    k_stride4: u32,
    k_offset4: u32,
    v_stride4: u32,
    v_offset4: u32,
    key_step: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tiles: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

const WG_SIZE: u32 = 64u;

var<workgroup> queries: array<vec4<f32>, 64>; // [query][dim4]
var<workgroup> scores: array<vec4<f32>, 256>; // [query / 4][key of the chunk]; then their exponentials
var<workgroup> maxima: array<f32, 16>; // [query], of the keys so far
var<workgroup> shrinks: array<f32, 16>; // [query], what a new maximum makes of earlier sums

@compute @workgroup_size(64)
fn attention(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = tiles[group.x];
    let n_queries = tile.y;
    let dim4 = params.dim4;
    let head_quad = group.y * dim4;
    let query = thread / dim4;
    let quad = thread % dim4;
    let is_owner = query < n_queries;

    var q_value = vec4<f32>(0.0);
    if is_owner {
        q_value = params.scale * q[(tile.x + query) * params.q_stride4 + params.q_offset4 + head_quad + quad];
    }
    queries[thread] = q_value;

    // The last query of a causal tile sees the most keys.
    let key_end = tile.w + params.key_step * (n_queries - 1u);
    let own_end = tile.w + params.key_step * query;
    var maximum = 0.0;
    var total = 0.0;
    var sum = vec4<f32>(0.0);
    for (var base = tile.z; base < key_end; base += WG_SIZE) {
        workgroupBarrier(); // `queries` is written, the last chunk's scores are read
        let key = min(base + thread, key_end - 1u);
        let k_row = key * params.k_stride4 + params.k_offset4 + head_quad;
        for (var first = 0u; first < n_queries; first += 4u) {
            var score = vec4<f32>(0.0);
            let q_row = first * dim4;
            for (var i = 0u; i < dim4; i++) {
                let k_value = k[k_row + i];
                score += vec4<f32>(
                    dot(queries[q_row + i], k_value),
                    dot(queries[min(q_row + dim4 + i, 63u)], k_value),
                    dot(queries[min(q_row + 2u * dim4 + i, 63u)], k_value),
                    dot(queries[min(q_row + 3u * dim4 + i, 63u)], k_value),
                );
            }
            scores[first / 4u * WG_SIZE + thread] = score;
        }
        workgroupBarrier();
        if thread < n_queries {
            let end = tile.w + params.key_step * thread;
            let s_row = thread / 4u * WG_SIZE;
            let lane = thread % 4u;
            let n_keys = select(0u, min(end - base, WG_SIZE), base < end);
            // The first key of all takes part in the first chunk: there is no maximum before it.
            var new_maximum = select(maximum, scores[s_row][lane], base == tile.z);
            for (var i = 0u; i < n_keys; i++) {
                new_maximum = max(new_maximum, scores[s_row + i][lane]);
            }
            shrinks[thread] = select(exp(maximum - new_maximum), 1.0, base == tile.z);
            maxima[thread] = new_maximum;
            maximum = new_maximum;
        }
        workgroupBarrier();
        for (var first = 0u; first < n_queries; first += 4u) {
            let ends = vec4<u32>(tile.w) + params.key_step * (vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u));
            let largest = vec4<f32>(maxima[first], maxima[first + 1u], maxima[first + 2u], maxima[first + 3u]);
            let at = first / 4u * WG_SIZE + thread;
            scores[at] = select(vec4<f32>(0.0), exp(scores[at] - largest), vec4<u32>(base + thread) < ends);
        }
        workgroupBarrier();
        if is_owner && base < own_end {
            let shrink = shrinks[query];
            total *= shrink;
            sum *= shrink;
            let n_keys = min(own_end - base, WG_SIZE);
            let s_row = query / 4u * WG_SIZE;
            let lane = query % 4u;
            var v_index = base * params.v_stride4 + params.v_offset4 + head_quad + quad;
            for (var i = 0u; i < n_keys; i++) {
                let p = scores[s_row + i][lane];
                total += p;
                sum += p * v[v_index];
                v_index += params.v_stride4;
            }
        }
    }
    if is_owner {
        var value = vec4<f32>(0.0); // a query without keys
        if total > 0.0 {
            value = sum / total;
        }
        y[(tile.x + query) * params.n_heads * dim4 + head_quad + quad] = value;
    }
}
