import Addresses
import NetworkPolicy
import Testing

@testable import Egress

@Suite struct AnswerNotesTests {
    private func name(_ text: String) throws -> DomainName { try DomainName(text) }

    @Test func `the last answer of each family counts, and one with nothing to say takes an earlier one's place`()
        throws
    {
        var notes = AnswerNotes()
        let four = AnswerNotes.Note(aliases: [try name("a.cdn.example")], time: 1)
        let six = AnswerNotes.Note(removed: [IPAddress("fd00::1")!], removedCount: 1, time: 2)
        notes.put(six, for: try name("x.example"), type: 28)
        notes.put(four, for: try name("x.example"), type: 1)
        #expect(notes.notes(of: try name("x.example")) == [four, six])
        notes.put(AnswerNotes.Note(), for: try name("x.example"), type: 1)
        #expect(notes.notes(of: try name("x.example")) == [six])
        #expect(notes.notes(of: try name("y.example")).isEmpty)
    }

    @Test func `a sandbox that asks for many names costs no more than there is room`() throws {
        var notes = AnswerNotes(capacity: 4096)
        let long = try (0..<16).map { try name("\($0)." + String(repeating: "a", count: 60) + ".example") }
        for number in 0..<1000 {
            notes.put(AnswerNotes.Note(aliases: [try name("c.example")]), for: try name("n\(number).example"), type: 1)
        }
        #expect((0..<1000).count { !notes.notes(of: try! name("n\($0).example")).isEmpty } < 30)
        notes.put(AnswerNotes.Note(aliases: long), for: try name("last.example"), type: 1)
        notes.put(AnswerNotes.Note(aliases: long + long + long), for: try name("large.example"), type: 1)
        #expect(notes.notes(of: try name("large.example")).isEmpty, "larger than all")
    }
}
