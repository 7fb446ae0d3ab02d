import NetworkPolicy
import Testing

@testable import DNSFilter

@Suite struct LongAnswerTests {
    @Test(arguments: [(1, 256), (16, 900)] as [(UInt16, Int)])
    func `of very many addresses some are taken, of other records all`(type: UInt16, taken: Int) throws {
        var message: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 3, 132, 0, 0, 0, 0]
        let question = try DomainName("many.example").wire
        message += question + [UInt8(type >> 8), UInt8(type & 0xff), 0, 1]
        for number in 0..<900 {
            message += [0xc0, 12, UInt8(type >> 8), UInt8(type & 0xff), 0, 1, 0, 0, 0, 60, 0, 4]
            message += [3, 51, UInt8(number >> 8), UInt8(number & 0xff)]
        }
        let response = try message.withUnsafeBytes { bytes throws(DNSMessageError) in try UpstreamResponse(bytes) }
        let answer = Answer(response, name: try DomainName("many.example"), type: type)
        #expect(answer.records.count == taken && answer.addresses.count == (type == 1 ? taken : 0))
    }
}
