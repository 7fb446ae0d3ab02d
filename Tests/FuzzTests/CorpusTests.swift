import Foundation
import Testing

/// Every input that the fuzzers kept, as a test: one that once broke something breaks it here again.
struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases) func `what the fuzzers kept holds`(_ target: FuzzTarget) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Corpus/\(target.rawValue)")
        let inputs = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(!inputs.isEmpty)
        for input in inputs {
            try Data(contentsOf: input).withUnsafeBytes { target.run($0) }
        }
    }

    @Test(arguments: FuzzTarget.allCases) func `bytes without a plan hold, too`(_ target: FuzzTarget) {
        for length in 0..<400 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255) }
            bytes.withUnsafeBytes { target.run($0) }
        }
    }
}
