import FoundationEssentials
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// An event of a code run.
struct CodeEvent: Decodable, Equatable {
    struct Failure: Decodable, Equatable {
        var ename: String
        var evalue: String
        var traceback: [String]
    }

    var type: String
    var text: String?
    var execution_count: Int?
    var results: [String: String]?
    var error: Failure?
}

/// What a run has brought.
struct CodeOutcome {
    let events: [CodeEvent]

    init(_ records: [String]) throws {
        // Every line decodes, whatever it is: nothing but events may be in a stream.
        events = try records.map { try JSONDecoder().decode(CodeEvent.self, from: Data($0.utf8)) }
    }

    func texts(_ type: String) -> String { events.filter { $0.type == type }.compactMap(\.text).joined() }
    var output: String { texts("stdout") }
    var errors: String { texts("stderr") }
    var results: [[String: String]] { events.compactMap(\.results) }
    /// The plain text of its only result.
    var value: String? { results.count == 1 ? results[0]["text"] : nil }
    var count: Int? { events.compactMap(\.execution_count).first }
    var error: CodeEvent.Failure? { events.last?.error }
    /// Whether it came to its end, and to one alone.
    var isWhole: Bool {
        let ends = events.filter { $0.type == "error" || $0.type == "execution_complete" }
        return events.first?.type == "init" && ends.count == 1 && ends.first == events.last
    }
}

extension LiveExecd {
    private struct Run: Encodable {
        struct Context: Encodable {
            var id: String?
            var language: String?
        }
        var code: String
        var context: Context?
    }

    struct Context: Decodable {
        var id: String
        var language: String
        var cwd: String?
    }

    func body(_ code: String, in context: String? = nil, _ language: String? = "python") throws -> String {
        let run = Run(code: code, context: Run.Context(id: context, language: language))
        return String(decoding: try JSONEncoder().encode(run), as: UTF8.self)
    }

    func context(_ language: String = "python", cwd: String? = nil) async throws -> String {
        let folder = cwd.map { #","cwd":"\#($0)""# } ?? ""
        let answer = try await ask("POST", "/code/context", #"{"language":"\#(language)"\#(folder)}"#)
        return try JSONDecoder().decode(Context.self, from: Data(answer.body.utf8)).id
    }

    func contexts(_ language: String) async throws -> [String] {
        let answer = try await ask("GET", "/code/contexts?language=\(language)")
        return try JSONDecoder().decode([Context].self, from: Data(answer.body.utf8)).map(\.id)
    }

    /// Runs code to its end.
    func code(_ code: String, in context: String? = nil, _ language: String? = "python") async throws -> CodeOutcome {
        let outcome = try CodeOutcome(
            events(of: try await call("POST", "/code", try body(code, in: context, language))))
        #expect(outcome.isWhole, "\(outcome.events)")
        return outcome
    }

    /// Runs code, and does something once when what has come until then has `mark` in it.
    func code(
        _ code: String, in context: String, _ language: String = "python", at mark: String,
        _ act: @escaping @Sendable () async throws -> Void
    ) async throws -> CodeOutcome {
        let body = try body(code, in: context, language)
        let acted = Once()
        let answer = try await RawClient(address).exchange(
            "POST /code HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        ) { seen in
            if seen.contains(mark), acted.isFirst() { Task { try await act() } }
            return false
        }
        let outcome = try CodeOutcome(events(of: answer))
        #expect(outcome.isWhole, "\(outcome.events)")
        return outcome
    }

    /// Starts a run, and goes when it has printed `mark`.
    func leave(_ code: String, in context: String, after mark: String) async throws {
        let body = try body(code, in: context)
        _ = try await RawClient(address).exchange(
            "POST /code HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        ) { $0.contains(mark) }
    }
}
