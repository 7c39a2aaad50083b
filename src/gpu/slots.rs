//! Slots to buffers: memory is reused once its last reader has run.
//!
//! Invariant: two slots share a buffer only if one is dead before the other is written; an operation never
//! finds its output in the buffer of one of its inputs, nor in one of an output of the graph.

use crate::graph::Graph;

/// Which buffer each slot lives in, and how many values each buffer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Slots that no operation touches have a buffer too if the caller fills or reads them.
    pub buffer_of_slot: Vec<Option<usize>>,
    pub buffer_lens: Vec<usize>,
}

/// Assigns buffers to the slots of `graph`, whose slot numbers have been checked.
pub fn assign(graph: &Graph) -> Assignment {
    // The operation after which a slot is dead: outputs never are.
    let mut dies_after = vec![None; graph.slots.len()];
    for (op_idx, op) in graph.ops.iter().enumerate() {
        for slot in op.reads().into_iter().chain([op.writes()]) {
            dies_after[slot.0] = Some(op_idx);
        }
    }
    for output in &graph.outputs {
        dies_after[output.slot.0] = None;
    }
    let mut assignment =
        Assignment { buffer_of_slot: vec![None; graph.slots.len()], buffer_lens: Vec::new() };
    let mut free = Vec::new();
    for slot in graph.inputs.iter().chain(graph.outputs.iter().map(|output| &output.slot)) {
        assignment.take(slot.0, graph.slots[slot.0], &mut Vec::new());
    }
    for (op_idx, op) in graph.ops.iter().enumerate() {
        let target = op.writes().0;
        assignment.take(target, graph.slots[target], &mut free);
        for slot in op.reads().into_iter().chain([op.writes()]) {
            // Once, however often the operation reads it.
            if dies_after[slot.0].take_if(|last| *last == op_idx).is_some() {
                free.extend(assignment.buffer_of_slot[slot.0]);
            }
        }
    }
    assignment
}

impl Assignment {
    /// Gives `slot` a buffer unless it has one: the free one that fits best, else the largest free one, grown.
    fn take(&mut self, slot: usize, len: usize, free: &mut Vec<usize>) {
        if self.buffer_of_slot[slot].is_some() {
            return;
        }
        let fits = |buffer: usize| self.buffer_lens[buffer] >= len;
        let best = (0..free.len()).min_by_key(|&i| {
            let buffer_len = self.buffer_lens[free[i]];
            if fits(free[i]) { (0, buffer_len) } else { (1, usize::MAX - buffer_len) }
        });
        let buffer = match best {
            Some(i) => free.swap_remove(i),
            None => {
                self.buffer_lens.push(0);
                self.buffer_lens.len() - 1
            }
        };
        self.buffer_lens[buffer] = self.buffer_lens[buffer].max(len);
        self.buffer_of_slot[slot] = Some(buffer);
    }
}
