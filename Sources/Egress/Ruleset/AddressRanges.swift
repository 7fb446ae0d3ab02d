import Addresses
import NetworkPolicy

/// Ranges in the form that a kernel interval set needs: sorted, of one family, neither touching nor overlapping.
enum AddressRanges {
    static func normalized(_ ranges: some Sequence<ClosedRange<IPAddress>>) -> [ClosedRange<IPAddress>] {
        var merged: [ClosedRange<IPAddress>] = []
        for range in ranges.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
            if let last = merged.last, last.lowerBound.isIPv4 == range.lowerBound.isIPv4,
                range.lowerBound <= last.upperBound || successor(of: last.upperBound) == range.lowerBound
            {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        return merged
    }

    /// The next address of the family; `nil` after the last one.
    static func successor(of address: IPAddress) -> IPAddress? {
        var bytes = Array(address.bytes)
        for index in bytes.indices.reversed() {
            let (sum, overflow) = bytes[index].addingReportingOverflow(1)
            bytes[index] = sum
            if !overflow { return IPAddress(bytes: bytes) }
        }
        return nil
    }
}
