//! A small assembler: instructions with labels, of which offsets are made at the end.

use super::Instruction;

/// A place in the program, jumped to from before it: classic BPF knows no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

#[derive(Debug)]
pub(super) struct Assembly {
    steps: Vec<Step>,
    /// Where each label is, once it is placed.
    places: Vec<Option<usize>>,
}

#[derive(Debug)]
struct Step {
    code: u16,
    k: u32,
    /// Where a jump goes if its comparison holds, and if not; none: on.
    then: Option<Label>,
    otherwise: Option<Label>,
}

// The parts of an instruction's code (Linux's bpf_common.h).
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
const WORD: u16 = 0x00;
const HALF: u16 = 0x08;
const BYTE: u16 = 0x10;
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const MSH: u16 = 0xa0;
const ADD: u16 = 0x00;
const LSH: u16 = 0x60;
const JA: u16 = 0x00;
const JEQ: u16 = 0x10;
const JGT: u16 = 0x20;
const JGE: u16 = 0x30;
const JSET: u16 = 0x40;
const X: u16 = 0x08;
const TAX: u16 = 0x00;
const TXA: u16 = 0x80;

/// Where Linux shows a packet's Ethernet type, in host order (`SKF_AD_OFF + SKF_AD_PROTOCOL`).
pub(super) const ETHER_TYPE: u32 = 0xffff_f000;

impl Assembly {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new(), places: Vec::new() }
    }

    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The next instruction is where this label leads.
    pub(super) fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.steps.len());
    }

    pub(super) fn load_ether_type(&mut self) {
        self.step(LD | HALF | ABS, ETHER_TYPE);
    }

    pub(super) fn load_byte(&mut self, at: u32) {
        self.step(LD | BYTE | ABS, at);
    }

    pub(super) fn load_half(&mut self, at: u32) {
        self.step(LD | HALF | ABS, at);
    }

    /// Behind what X says.
    pub(super) fn load_byte_x(&mut self, at: u32) {
        self.step(LD | BYTE | IND, at);
    }

    pub(super) fn load_half_x(&mut self, at: u32) {
        self.step(LD | HALF | IND, at);
    }

    pub(super) fn load_x(&mut self, value: u32) {
        self.step(LDX | WORD | IMM, value);
    }

    /// The length of the IPv4 header at a place, into X.
    pub(super) fn load_header_length(&mut self, at: u32) {
        self.step(LDX | BYTE | MSH, at);
    }

    pub(super) fn store(&mut self, slot: u32) {
        self.step(ST, slot);
    }

    pub(super) fn load_stored(&mut self, slot: u32) {
        self.step(LD | MEM, slot);
    }

    pub(super) fn add(&mut self, value: u32) {
        self.step(ALU | ADD, value);
    }

    pub(super) fn add_x(&mut self) {
        self.step(ALU | ADD | X, 0);
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.step(ALU | LSH, bits);
    }

    pub(super) fn move_to_x(&mut self) {
        self.step(MISC | TAX, 0);
    }

    pub(super) fn move_from_x(&mut self) {
        self.step(MISC | TXA, 0);
    }

    pub(super) fn if_equal(&mut self, value: u32, then: Label) {
        self.branch(JEQ, value, Some(then), None);
    }

    pub(super) fn unless_equal(&mut self, value: u32, otherwise: Label) {
        self.branch(JEQ, value, None, Some(otherwise));
    }

    pub(super) fn if_above(&mut self, value: u32, then: Label) {
        self.branch(JGT, value, Some(then), None);
    }

    pub(super) fn unless_at_least(&mut self, value: u32, otherwise: Label) {
        self.branch(JGE, value, None, Some(otherwise));
    }

    pub(super) fn if_any_bit(&mut self, bits: u32, then: Label) {
        self.branch(JSET, bits, Some(then), None);
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.steps.push(Step { code: JMP | JA, k: 0, then: Some(to), otherwise: None });
    }

    /// The end: that many bytes of the packet are kept.
    pub(super) fn keep(&mut self, bytes: u32) {
        self.step(RET, bytes);
    }

    fn step(&mut self, code: u16, k: u32) {
        self.steps.push(Step { code, k, then: None, otherwise: None });
    }

    fn branch(&mut self, comparison: u16, k: u32, then: Option<Label>, otherwise: Option<Label>) {
        self.steps.push(Step { code: JMP | comparison, k, then, otherwise });
    }

    /// Conditional jumps reach 255 instructions far; a program for which that is not enough is a bug, and found by the first test
    /// that makes it.
    pub(super) fn finish(&self) -> Vec<Instruction> {
        let distance = |from: usize, to: Option<Label>| {
            to.map_or(0, |label| self.places[label.0].expect("every label is placed") - (from + 1))
        };
        let instruction = |(at, step): (usize, &Step)| {
            let (then, otherwise) = (distance(at, step.then), distance(at, step.otherwise));
            if step.code == JMP | JA {
                let k = u32::try_from(then).expect("programs are short");
                return Instruction { code: step.code, jt: 0, jf: 0, k };
            }
            let near = |distance| u8::try_from(distance).expect("a conditional jump reaches 255 instructions far");
            Instruction { code: step.code, jt: near(then), jf: near(otherwise), k: step.k }
        };
        self.steps.iter().enumerate().map(instruction).collect()
    }
}
