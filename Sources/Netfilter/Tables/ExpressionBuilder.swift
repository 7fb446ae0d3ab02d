import Addresses
import CNftnl

/// Converts expressions to libnftnl objects.
enum ExpressionBuilder {
    /// NFT_REG32_01, which with the three registers after it can hold an IPv6 address.
    private static let register: UInt32 = 9
    /// NFT_REG32_00, the destination of map look-ups. A map's value is two 32-bit words, so that the second, the
    /// number, ends up in `register`, and can be looked up in the next map.
    ///
    /// The detour is for nft(8), version 1.0.6 and later: when it lists a rule that uses a map's value directly as the
    /// next key, it has no length for the value and fails an assertion, and `nft list ruleset` aborts. It does not
    /// track the second word of a value, so it does not notice this use.
    private static let registerOfMaps: UInt32 = 8
    private static let verdictRegister: UInt32 = 0
    /// NFT_REG32_05, behind an IPv6 address in `register`.
    private static let registerOfPorts: UInt32 = 13

    /// Adds an expression to a rule, which takes ownership of it.
    static func add(_ expression: Expression, to rule: OpaquePointer) {
        switch expression {
        case .meta(let key):
            make("meta", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_KEY), key.rawValue)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_DREG), register)
            }
        case .payload(let base, let offset, let length):
            make("payload", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_DREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_BASE), base.rawValue)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_OFFSET), offset)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_PAYLOAD_LEN), length)
            }
        case .connectionState:
            make("ct", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_KEY), 0)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_DREG), register)
            }
        case .connectionMark:
            make("ct", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_KEY), 3)  // NFT_CT_MARK
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_DREG), register)
            }
        case .connectionStatus:
            make("ct", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_KEY), 2)  // NFT_CT_STATUS
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_DREG), register)
            }
        case .destinationType:
            make("fib", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_FLAGS), 2)  // NFTA_FIB_F_DADDR
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_RESULT), 3)  // NFT_FIB_RESULT_ADDRTYPE
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_DREG), register)
            }
        case .sourceType:
            make("fib", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_FLAGS), 1)  // NFTA_FIB_F_SADDR
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_RESULT), 3)  // NFT_FIB_RESULT_ADDRTYPE
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_FIB_DREG), register)
            }
        case .compare(let comparison, let bytes):
            make("cmp", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CMP_SREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CMP_OP), comparison.rawValue)
                nftnl_expr_set($0, UInt16(NFTNL_EXPR_CMP_DATA), bytes, UInt32(bytes.count))
            }
        case .mask(let mask):
            make("bitwise", rule) {
                let zeros = [UInt8](repeating: 0, count: mask.count)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_SREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_DREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_OP), 0)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_BITWISE_LEN), UInt32(mask.count))
                nftnl_expr_set($0, UInt16(NFTNL_EXPR_BITWISE_MASK), mask, UInt32(mask.count))
                nftnl_expr_set($0, UInt16(NFTNL_EXPR_BITWISE_XOR), zeros, UInt32(zeros.count))
            }
        case .lookup(let set, let inverted):
            make("lookup", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SREG), register)
                nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOOKUP_SET), set)
                if inverted { nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_FLAGS), 1) }
            }
        case .map(let name):
            make("lookup", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_DREG), registerOfMaps)
                nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOOKUP_SET), name)
            }
        case .verdictMap(let name):
            make("lookup", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_SREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOOKUP_DREG), verdictRegister)
                nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOOKUP_SET), name)
            }
        case .packetsOver(let rate, let burst): limit(rate, burst, flags: 1, rule)  // NFT_LIMIT_F_INV
        case .packetsWithin(let rate, let burst): limit(rate, burst, flags: 0, rule)
        case .connectionsOver(let count):
            make("connlimit", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CONNLIMIT_COUNT), count)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CONNLIMIT_FLAGS), 1)  // NFT_CONNLIMIT_F_INV
            }
        case .bytesOver(let bytes, let used):
            make("quota", rule) {
                nftnl_expr_set_u64($0, UInt16(NFTNL_EXPR_QUOTA_BYTES), bytes)
                nftnl_expr_set_u64($0, UInt16(NFTNL_EXPR_QUOTA_CONSUMED), used)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_QUOTA_FLAGS), 1)  // NFT_QUOTA_F_INV
            }
        case .counter: make("counter", rule) { _ in }
        case .log(let group, let prefix, let bytes):
            make("log", rule) {
                nftnl_expr_set_u16($0, UInt16(NFTNL_EXPR_LOG_GROUP), group)
                nftnl_expr_set_str($0, UInt16(NFTNL_EXPR_LOG_PREFIX), prefix)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LOG_SNAPLEN), bytes)
            }
        case .verdict(let verdict):
            make("immediate", rule) { expression in
                nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_IMM_DREG), verdictRegister)
                nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(bitPattern: code(of: verdict)))
                switch verdict {
                case .jump(let chain), .goto(let chain):
                    nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_IMM_CHAIN), chain)
                case .accept, .drop, .return: break
                }
            }
        case .reject(let rejection):
            make("reject", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_REJECT_TYPE), rejection == .tcpReset ? 1 : 2)
                nftnl_expr_set_u8($0, UInt16(NFTNL_EXPR_REJECT_CODE), rejection == .tcpReset ? 0 : 3)
            }
        case .redirect(let port):
            load(NetlinkMessage.networkBytes(port), into: register, rule)
            make("redir", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_REDIR_REG_PROTO_MIN), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_REDIR_FLAGS), 2)  // NF_NAT_RANGE_PROTO_SPECIFIED
            }
        case .masquerade: make("masq", rule) { _ in }
        case .destinationTo(let address, let port):
            load(NetlinkMessage.networkBytes(port), into: registerOfPorts, rule)
            translate(address, type: 1, rule) {  // NFT_NAT_DNAT
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_NAT_REG_PROTO_MIN), registerOfPorts)
            }
        case .sourceTo(let address): translate(address, type: 0, rule)  // NFT_NAT_SNAT
        case .setConnectionMark(let value):
            make("immediate", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DATA), value)
            }
            make("ct", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_KEY), 3)  // NFT_CT_MARK
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_CT_SREG), register)
            }
        case .setMeta(let key, let value):
            make("immediate", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DREG), register)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DATA), value)
            }
            make("meta", rule) {
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_KEY), key.rawValue)
                nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_META_SREG), register)
            }
        }
    }

    /// Packets a second.
    private static func limit(_ rate: UInt64, _ burst: UInt32, flags: UInt32, _ rule: OpaquePointer) {
        make("limit", rule) {
            nftnl_expr_set_u64($0, UInt16(NFTNL_EXPR_LIMIT_RATE), rate)
            nftnl_expr_set_u64($0, UInt16(NFTNL_EXPR_LIMIT_UNIT), 1)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LIMIT_BURST), burst)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LIMIT_TYPE), 0)  // NFT_LIMIT_PKTS
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_LIMIT_FLAGS), flags)
        }
    }

    private static func load(_ bytes: [UInt8], into register: UInt32, _ rule: OpaquePointer) {
        make("immediate", rule) {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_IMM_DREG), register)
            nftnl_expr_set($0, UInt16(NFTNL_EXPR_IMM_DATA), bytes, UInt32(bytes.count))
        }
    }

    private static func translate(
        _ address: IPAddress, type: UInt32, _ rule: OpaquePointer, more: (OpaquePointer) -> Void = { _ in }
    ) {
        load(address.bytes, into: register, rule)
        make("nat", rule) {
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_NAT_TYPE), type)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_NAT_FAMILY), address.isIPv4 ? 2 : 10)
            nftnl_expr_set_u32($0, UInt16(NFTNL_EXPR_NAT_REG_ADDR_MIN), register)
            more($0)
        }
    }

    private static func make(_ name: String, _ rule: OpaquePointer, _ fill: (OpaquePointer) -> Void) {
        let expression = nftnl_expr_alloc(name)!
        fill(expression)
        nftnl_rule_add_expr(rule, expression)
    }

    private static func code(of verdict: Expression.Verdict) -> Int32 {
        switch verdict {
        case .drop: 0
        case .accept: 1
        case .jump: -3
        case .goto: -4
        case .return: -5
        }
    }
}
