//! What may come in: a classic BPF program that the kernel runs on every packet of the link, so that only answers wake us.

use crate::PortBlock;

mod assembly;

use assembly::{Assembly, Label};

/// What a ring lets through: TCP and UDP to our block of ports, ICMP and `ICMPv6` errors, echo and timestamp replies, and who has
/// an address on the link (ARP replies, neighbour advertisements). Of fragments
/// only the first; IPv6 extension headers are walked through, four at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    pub ports: PortBlock,
}

/// An instruction of the classic Berkeley packet filter (Linux's `struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    /// How many instructions a jump skips if its comparison holds.
    pub jt: u8,
    /// And if it does not.
    pub jf: u8,
    pub k: u32,
}

/// Bytes kept of a TCP segment: more than its headers can be long.
const TCP_BYTES: u32 = 128;
/// Bytes kept of everything else: a whole packet of an Ethernet.
const OTHER_BYTES: u32 = 1514;

const EXTENSIONS: usize = 4;

impl Filter {
    /// The program for a packet socket of type `SOCK_DGRAM`, where offset 0 is the IP header. What it returns is how many bytes are
    /// kept.
    pub fn program(self) -> Vec<Instruction> {
        let mut code = Assembly::new();
        let drop = code.label();
        let [tcp, other, icmp, v4, v6, arp] = [(); 6].map(|()| code.label());
        code.load_ether_type();
        code.if_equal(0x0800, v4);
        code.if_equal(0x86dd, v6);
        code.if_equal(0x0806, arp);
        code.jump(drop);

        code.place(arp);
        code.load_half(6);
        code.if_equal(2, other);
        code.jump(drop);

        code.place(v4);
        code.load_half(6);
        code.if_any_bit(0x1fff, drop);
        code.load_header_length(0);
        code.load_byte(9);
        self.transport(&mut code, 1, icmp, [tcp, other, drop]);
        code.jump(drop);

        code.place(icmp);
        code.load_byte_x(0);
        // Echo reply, unreachable, time exceeded, parameter problem, timestamp reply.
        for kind in [0, 3, 11, 12, 14] {
            code.if_equal(kind, other);
        }
        code.jump(drop);

        self.v6(&mut code, v6, [tcp, other, drop]);

        code.place(tcp);
        code.keep(TCP_BYTES);
        code.place(other);
        code.keep(OTHER_BYTES);
        code.place(drop);
        code.keep(0);
        code.finish()
    }

    /// A is a protocol number, X where its header starts.
    fn transport(self, code: &mut Assembly, icmp_number: u32, icmp: Label, [tcp, other, drop]: [Label; 3]) {
        code.if_equal(icmp_number, icmp);
        for (protocol, keep) in [(6, tcp), (17, other)] {
            let next = code.label();
            code.unless_equal(protocol, next);
            code.load_half_x(2);
            code.unless_at_least(self.ports.first().into(), drop);
            code.if_above(self.ports.last().into(), drop);
            code.jump(keep);
            code.place(next);
        }
    }

    fn v6(self, code: &mut Assembly, start: Label, [tcp, other, drop]: [Label; 3]) {
        let icmp = code.label();
        code.place(start);
        code.load_x(40);
        code.load_byte(6);
        for _ in 0..EXTENSIONS {
            let [walk, fragment, next] = [(); 3].map(|()| code.label());
            self.transport(code, 58, icmp, [tcp, other, drop]);
            for header in [0, 43, 60] {
                code.if_equal(header, walk);
            }
            code.if_equal(44, fragment);
            code.jump(drop);

            // Its length is counted in units of 8 bytes, the first not included.
            code.place(walk);
            code.load_byte_x(0);
            code.store(0);
            code.load_byte_x(1);
            code.add(1);
            code.shift_left(3);
            code.add_x();
            code.move_to_x();
            code.load_stored(0);
            code.jump(next);

            code.place(fragment);
            code.load_half_x(2);
            code.if_any_bit(0xfff8, drop);
            code.load_byte_x(0);
            code.store(0);
            code.move_from_x();
            code.add(8);
            code.move_to_x();
            code.load_stored(0);
            code.place(next);
        }
        self.transport(code, 58, icmp, [tcp, other, drop]);
        code.jump(drop);

        code.place(icmp);
        code.load_byte_x(0);
        // Unreachable, too big, time exceeded, parameter problem, echo reply, neighbour advertisement.
        for kind in [1, 2, 3, 4, 129, 136] {
            code.if_equal(kind, other);
        }
        code.jump(drop);
    }
}

#[cfg(test)]
mod tests;
