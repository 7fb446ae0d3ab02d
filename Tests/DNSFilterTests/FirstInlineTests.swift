import NetworkPolicy
import Testing

@testable import DNSFilter

@Suite struct FirstInlineTests {
    @Test func `it does what an array does`() {
        var random = SeededGenerator()
        for _ in 0..<500 {
            var list = FirstInline<Int>(), array: [Int] = []
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let number = Int.random(in: 0...3, using: &random)
                switch Int.random(in: 0...4, using: &random) {
                case 0:
                    list.removeAll { $0 == number }
                    array.removeAll { $0 == number }
                case 1 where !array.isEmpty:
                    let index = Int.random(in: array.indices, using: &random)
                    list[index] = number
                    array[index] = number
                default:
                    list.append(number)
                    array.append(number)
                }
                #expect(Array(list) == array && list.count == array.count && list.isEmpty == array.isEmpty)
            }
        }
    }

    @Test func `a name's letters are given back as they were`() {
        var random = SeededGenerator()
        let letters = Array("abcxyzABCXYZ019-_".utf8)
        for _ in 0..<500 {
            var wire: [UInt8] = []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let length = Int.random(in: 1...62, using: &random)
                wire.append(UInt8(length))
                for _ in 0..<length { wire.append(letters.randomElement(using: &random)!) }
            }
            wire.append(0)
            guard wire.count <= 255 else { continue }
            var given = [7, 7] + UpstreamResponse.lowercased(wire)
            LetterCase(of: wire).apply(to: &given, from: 2)
            #expect(given == [7, 7] + wire)
        }
    }
}
