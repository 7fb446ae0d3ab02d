@testable import DNSFilter
@testable import NetworkPolicy

/// DNS messages: from a sandbox, and from an upstream.
enum DNSFuzz {
    /// What is understood of a query is all that goes upstream, and comes out of that again.
    static func query(_ bytes: UnsafeRawBufferPointer) {
        guard case .success(let query)? = Query.parse(bytes) else { return }
        let forwarded = Query.forwardedBytes(name: query.name, type: query.type, identifier: 0x1234)
        guard case .success(let again)? = forwarded.withUnsafeBytes({ Query.parse($0) }) else {
            fatalError("what is forwarded is no query")
        }
        promise(again.name == query.name && again.type == query.type, "the forwarded question is another one")
        promise(forwarded.count == 12 + query.name.wire.count + 4 + 11, "something rides along")
        // With letters in random case it is still the same question.
        let spelled = Query.forwardedBytes(
            name: query.name, type: query.type, identifier: 0x1234, spelling: 0x5555_aaaa_1234_fedc)
        promise(
            QuestionSpelling.matches(
                Array(spelled[12..<12 + query.name.wire.count]), canonical: query.name.wire, 0x5555_aaaa_1234_fedc),
            "the spelling cannot be checked")
        promise(!query.name.wire.contains { (0x41...0x5a).contains($0) && $0 > 63 }, "upper case goes upstream")

        // Unless a pointer stood in it.
        let asked = bytes.dropFirst(12).prefix(query.question.count)
        promise(
            asked.elementsEqual(query.question) || asked.contains { $0 >= 0xc0 },
            "the question is not given back as it came")

        var answer = Answer(code: .noError)
        answer.records = [
            ResourceRecord(owner: query.name.wire, type: RecordType.a, ttl: 5, data: [192, 0, 2, 1])
        ]
        for limit in [512, 65535] {
            let told = ResponseEncoder.encode(answer, to: query, elapsed: 1, limit: limit, error: .blocked("x"))
            promise(told.count <= max(limit, 12 + query.question.count + 11), "the answer is longer than its limit")
            guard let response = try? told.withUnsafeBytes({ try UpstreamResponse($0) }) else {
                fatalError("the answer to a query cannot be read")
            }
            promise(response.canonicalName == query.name, "the answer is to another question")
            promise(response.isTruncated || response.answers.map(\.ttl) == [4], "the answer is not the one given")
        }
    }

    /// What is believed of a response is the chain from its question, whatever else it carries.
    static func response(_ bytes: UnsafeRawBufferPointer) {
        guard let response = try? UpstreamResponse(bytes), let name = try? DomainName(wire: response.questionName)
        else { return }
        // In memory that another one was read into, it is the same.
        var memory = UpstreamResponse.Memory()
        for _ in 0..<2 {
            promise((try? UpstreamResponse(bytes, reusing: &memory)) == response, "it is another one the second time")
        }
        let answer = Answer(response, name: name, type: response.questionType)
        var owner = name.wire
        for record in answer.records {
            promise(record.owner == owner, "a record of another owner is believed")
            if record.type == RecordType.cname, response.questionType != RecordType.cname { owner = record.data }
        }
        promise(
            answer.lifetime(isNegative: answer.isNegative(type: response.questionType)) <= 86400,
            "an answer is kept for too long")

        let none = answer.filtered { _ in false }
        promise(none.addresses.isEmpty, "a refused address is told")

        let query = Query(
            identifier: 1, recursionDesired: true, name: name, type: response.questionType, payloadLimit: 1232,
            hasEDNS: true)
        let told = ResponseEncoder.encode(answer, to: query)
        guard told.count <= 65535, let again = try? told.withUnsafeBytes({ try UpstreamResponse($0) }) else {
            fatalError("what is told of a response cannot be read")
        }
        promise(again.answers == answer.records, "the records that are told are not those believed")
    }
}
