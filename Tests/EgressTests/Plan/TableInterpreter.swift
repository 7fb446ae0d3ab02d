import Addresses
import NetworkPolicy

@testable import Netfilter

/// nf_tables as a value: takes transactions as the kernel does, and judges packets by the rules and sets in it.
struct TableInterpreter {
    struct Refusal: Error { var reason: String }

    struct Packet {
        var destination: IPAddress
        var protocolNumber: UInt8
        var port: UInt16
    }

    private struct Elements {
        var key: SetKey
        var intervals: Bool
        var points: [[UInt8]: SetElement.Value?] = [:]
        var starts: [[UInt8]: SetElement.Value?] = [:]
        var ends: Set<[UInt8]> = []

        /// As the kernel's tree: the closest start at or before the key, unless an end lies between.
        func find(_ key: [UInt8]) -> SetElement.Value?? {
            guard intervals else { return points[key] }
            guard let start = starts.keys.filter({ !key.lexicographicallyPrecedes($0) }).max(by: Self.less) else {
                return nil
            }
            let isEnded = ends.contains { Self.less(start, $0) && !Self.less(key, $0) }
            return isEnded ? nil : starts[start]
        }
        static func less(_ left: [UInt8], _ right: [UInt8]) -> Bool { left.lexicographicallyPrecedes(right) }
    }

    private var sets: [String: Elements] = [:]
    private var chains: [String: [[Expression]]] = [:]

    mutating func commit(_ transaction: Transaction) throws {
        var next = self
        for operation in transaction.operations { try next.apply(operation) }
        self = next
    }

    private mutating func apply(_ operation: Transaction.Operation) throws {
        switch operation {
        case .addTable, .claimTable: return
        case .deleteTable: self = TableInterpreter()
        case .addChain(_, let name, _): if chains[name] == nil { chains[name] = [] }
        case .flushChain(_, let name): chains[name] = []
        case .addRule(_, let chain, let rule):
            guard chains[chain] != nil else { throw Refusal(reason: "no chain \(chain)") }
            chains[chain]!.append(rule)
        case .addSet(_, let name, let key, _, let intervals, _):
            sets[name] = Elements(key: key, intervals: intervals)
        case .addElements(_, let set, let elements): for element in elements { try add(element, to: set) }
        case .deleteElements(_, let set, let elements): for element in elements { try delete(element, from: set) }
        case .flushSet(_, let set):
            sets[set]!.points = [:]
            sets[set]!.starts = [:]
            sets[set]!.ends = []
        }
    }

    private mutating func add(_ element: SetElement, to set: String) throws {
        guard let held = sets[set] else { throw Refusal(reason: "no set \(set)") }
        if case .jump(let chain)? = element.value, chains[chain] == nil { throw Refusal(reason: "no chain \(chain)") }
        if !held.intervals {
            if let present = held.points[element.key], present != element.value { throw Refusal(reason: "busy") }
            sets[set]!.points[element.key] = .some(element.value)
        } else if element.isRangeEnd {
            guard sets[set]!.ends.insert(element.key).inserted else { throw Refusal(reason: "ends overlap") }
        } else {
            guard held.find(element.key) == nil else { throw Refusal(reason: "ranges overlap") }
            sets[set]!.starts[element.key] = .some(element.value)
        }
    }

    private mutating func delete(_ element: SetElement, from set: String) throws {
        let found: Bool
        if !sets[set]!.intervals {
            found = sets[set]!.points.removeValue(forKey: element.key) != nil
        } else if element.isRangeEnd {
            found = sets[set]!.ends.remove(element.key) != nil
        } else {
            found = sets[set]!.starts.removeValue(forKey: element.key) != nil
        }
        guard found else { throw Refusal(reason: "\(element.key) is not in \(set)") }
    }

    /// What the output chain does with the first packet of a flow.
    func action(_ packet: Packet) -> Action {
        run("output", packet) == .allow ? .allow : .deny
    }

    /// nil where the chain comes to its end or returns.
    private func run(_ chain: String, _ packet: Packet) -> Action? {
        for rule in chains[chain]! {
            var register: [UInt8] = []
            steps: for step in rule {
                var verdict: Expression.Verdict?
                switch step {
                case .compare(let comparison, let bytes):
                    guard compare(Array(register.prefix(bytes.count)), comparison, bytes) else { break steps }
                case .mask(let mask): register = zip(register, mask).map { $0 & $1 }
                case .lookup(let set, let inverted):
                    guard (sets[set]!.find(register) != nil) != inverted else { break steps }
                case .map(let name):
                    guard case .number(let number)?? = sets[name]!.find(register) else { break steps }
                    register = NetlinkMessage.hostBytes(number)
                case .verdictMap(let name):
                    guard case .jump(let target)?? = sets[name]!.find(register) else { break steps }
                    verdict = .jump(target)
                case .verdict(let given): verdict = given
                case .reject: return .deny
                case .counter, .redirect, .masquerade: continue
                default:
                    guard let loaded = load(step, packet) else { break steps }
                    register = loaded
                }
                switch verdict {
                case nil: continue
                case .accept: return .allow
                case .drop: return .deny
                case .return: return nil
                case .goto(let target): return run(target, packet)
                case .jump(let target): if let decided = run(target, packet) { return decided }
                }
            }
        }
        return nil
    }

    private func load(_ step: Expression, _ packet: Packet) -> [UInt8]? {
        let isIPv4 = packet.destination.isIPv4
        switch step {
        case .meta(.family): return [isIPv4 ? 2 : 10]
        case .meta(.transport): return [packet.protocolNumber]
        case .connectionState: return NetlinkMessage.hostBytes(ConnectionState.new.rawValue)
        case .destinationType: return NetlinkMessage.hostBytes(UInt32(1))
        case .sourceType: return NetlinkMessage.hostBytes(UInt32(2))
        case .payload(.network, let offset, let length):
            let start = Int(offset) - (isIPv4 ? 16 : 24)
            guard start >= 0, start + Int(length) <= packet.destination.bytes.count else { return nil }
            return Array(packet.destination.bytes[start..<start + Int(length)])
        case .payload(.transport, 2, 2): return NetlinkMessage.networkBytes(packet.port)
        case .payload(.transport, 13, 1): return [0x02]
        case .payload(.transport, 0, 1): return [128]
        default: return nil
        }
    }

    private func compare(_ left: [UInt8], _ comparison: Expression.Comparison, _ right: [UInt8]) -> Bool {
        switch comparison {
        case .equal: left == right
        case .notEqual: left != right
        case .less: Elements.less(left, right)
        case .lessOrEqual: !Elements.less(right, left)
        case .greater: Elements.less(right, left)
        case .greaterOrEqual: !Elements.less(left, right)
        }
    }
}
