/// A value for each port from 0 to 65535, or nil where none is set. The representation is canonical: maps that mean the
/// same are equal.
public struct PortMap<Value: Hashable & Sendable>: Hashable, Sendable {
    /// Consecutive ports with one value, from the end of the previous run up to `last`.
    private struct Run: Hashable, Sendable {
        var last: UInt16
        var value: Value?
    }

    /// Most maps have one value for all ports; those need no allocation.
    private enum Form: Hashable, Sendable {
        case uniform(Value?)
        case runs([Run])
    }

    private var form: Form

    /// The same value for every port.
    public init(_ value: Value?) { form = .uniform(value) }

    /// `value` for these ports, nil for the others.
    public init(_ value: Value, ports: some Sequence<ClosedRange<UInt16>>) {
        var runs: [Run] = []
        var next = 0
        for range in ports.sorted(by: { $0.lowerBound < $1.lowerBound }) where Int(range.upperBound) >= next {
            if Int(range.lowerBound) > next { Self.append(Run(last: range.lowerBound - 1, value: nil), to: &runs) }
            Self.append(Run(last: range.upperBound, value: value), to: &runs)
            next = Int(range.upperBound) + 1
        }
        if next <= Int(UInt16.max) { Self.append(Run(last: .max, value: nil), to: &runs) }
        form = Self.form(runs)
    }

    private init(runs: [Run]) { form = Self.form(runs) }

    /// The value of all ports; nil if they differ or have none.
    public var uniformValue: Value? {
        if case .uniform(let value) = form { value } else { nil }
    }

    /// The ports that have a value, in order, with it.
    public var ranges: [(ports: ClosedRange<UInt16>, value: Value)] {
        var next = 0
        return runs.compactMap { run in
            defer { next = Int(run.last) + 1 }
            return run.value.map { (UInt16(next)...run.last, $0) }
        }
    }

    public subscript(port: UInt16) -> Value? {
        guard case .runs(let runs) = form else { return uniformValue }
        var low = 0, high = runs.count - 1
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].last < port { low = middle + 1 } else { high = middle }
        }
        return runs[low].value
    }

    /// Combines two maps port by port.
    public func combined<Other, Result>(
        with other: PortMap<Other>, by choose: (Value?, Other?) -> Result?
    ) -> PortMap<Result> {
        if case .uniform(let left) = form, case .uniform(let right) = other.form {
            return PortMap<Result>(choose(left, right))
        }
        let left = runs, right = other.runs
        var merged: [PortMap<Result>.Run] = []
        var (i, j) = (0, 0)
        while i < left.count, j < right.count {
            let last = min(left[i].last, right[j].last)
            PortMap<Result>.append(.init(last: last, value: choose(left[i].value, right[j].value)), to: &merged)
            if left[i].last == last { i += 1 }
            if right[j].last == last { j += 1 }
        }
        return PortMap<Result>(runs: merged)
    }

    private var runs: [Run] {
        switch form {
        case .uniform(let value): [Run(last: .max, value: value)]
        case .runs(let runs): runs
        }
    }

    private static func form(_ runs: [Run]) -> Form { runs.count == 1 ? .uniform(runs[0].value) : .runs(runs) }

    private static func append(_ run: Run, to runs: inout [Run]) {
        if let last = runs.last, last.value == run.value {
            runs[runs.count - 1].last = run.last
        } else {
            runs.append(run)
        }
    }
}
