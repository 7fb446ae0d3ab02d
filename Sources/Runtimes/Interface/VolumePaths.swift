import Spelling

/// Steps of a path below a folder, none of which leads up. Compared by their bytes, as the kernel does.
package struct PathSteps: Codable, Hashable, Sendable {
    package let steps: [ExactName]

    /// What the kernel takes (PATH_MAX with the byte that ends it, NAME_MAX).
    private static let maxBytes = 4095, maxStep = 255

    /// Reads a path. Doubled slashes, a slash at its end and `.` mean nothing.
    /// - Throws: the reason as words after "it".
    init(_ text: String) throws(PathProblem) {
        guard text.utf8.count <= Self.maxBytes else { throw PathProblem("is longer than \(Self.maxBytes) bytes") }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { throw PathProblem("has a control character") }
        var steps: [ExactName] = []
        for step in text.utf8.split(separator: UInt8(ascii: "/")).map({ String(Substring($0)) }) where step != "." {
            guard step != ".." else { throw PathProblem("has a step up (..)") }
            guard step.utf8.count <= Self.maxStep else {
                throw PathProblem("has a name of more than \(Self.maxStep) bytes")
            }
            steps.append(ExactName(step))
        }
        self.steps = steps
    }

    fileprivate init(_ steps: [ExactName]) { self.steps = steps }

    /// Relative, without a slash at its ends.
    package var text: String { steps.map(\.text).joined(separator: "/") }

    /// Whether the path is `other` or below it.
    package func isWithin(_ other: PathSteps) -> Bool { steps.starts(with: other.steps) }

    /// What comes after the first `count` steps.
    func dropFirst(_ count: Int) -> PathSteps { PathSteps(Array(steps.dropFirst(count))) }
}

struct PathProblem: Error, Hashable, Sendable {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}

/// Where a sandbox sees a volume: a path of its own, which hides nothing that the server puts there.
package struct MountPath: Codable, Hashable, Sendable, CustomStringConvertible {
    let steps: PathSteps

    package var description: String { "/" + steps.text }

    /// What the server mounts or writes itself. Nothing is mounted on, below or above these.
    static let reserved = [
        "/proc", "/sys", "/dev", "/opt/opensandbox", "/var/lib/execd", "/run/opensandbox", "/etc/resolv.conf",
        "/etc/hosts", "/etc/hostname",
    ].map { try! PathSteps($0) }

    /// - Throws: `VolumeProblem` with `.invalidMountPath`.
    package init(_ text: String, of volume: String) throws(VolumeProblem) {
        func problem(_ reason: String) -> VolumeProblem {
            VolumeProblem(.invalidMountPath, "the mountPath of volume \(volume) \(reason)")
        }
        guard text.utf8.first == UInt8(ascii: "/") else { throw problem("does not begin with /") }
        do throws(PathProblem) { steps = try PathSteps(text) } catch { throw problem(error.reason) }
        guard !steps.steps.isEmpty else {
            throw problem("is /, where the image's files are: choose a folder of its own")
        }
        if let taken = Self.reserved.first(where: { $0.isWithin(steps) || steps.isWithin($0) }) {
            throw problem("is or hides /\(taken.text), which the server needs: choose another path")
        }
    }
}

/// Which part of a volume a sandbox sees.
package struct SubPath: Codable, Hashable, Sendable, CustomStringConvertible {
    let steps: PathSteps

    package var description: String { steps.text }

    /// nil for an empty text and for `.`, which mean all of it.
    /// - Throws: `VolumeProblem` with `.invalidSubPath`.
    package init?(_ text: String, of volume: String) throws(VolumeProblem) {
        func problem(_ reason: String) -> VolumeProblem {
            VolumeProblem(.invalidSubPath, "the subPath of volume \(volume) \(reason)")
        }
        guard text.utf8.first != UInt8(ascii: "/") else {
            throw problem("begins with /: it is a path below the volume")
        }
        do throws(PathProblem) { steps = try PathSteps(text) } catch { throw problem(error.reason) }
        guard !steps.steps.isEmpty else { return nil }
    }
}

/// A file or folder of the server's machine. Unlike other paths it has one spelling only, since an operator compares it
/// with a list.
package struct HostPath: Codable, Hashable, Sendable, CustomStringConvertible {
    let steps: PathSteps

    package var description: String { "/" + steps.text }

    /// - Throws: `VolumeProblem` with `.invalidHostPath`.
    package init(_ text: String, of volume: String) throws(VolumeProblem) {
        do throws(PathProblem) { try self.init(reading: text) } catch {
            throw VolumeProblem(.invalidHostPath, "the host path of volume \(volume) \(error.reason)")
        }
    }

    /// A path of the server's configuration; nil if it is none.
    package init?(configured text: String) {
        do throws(PathProblem) { try self.init(reading: text) } catch { return nil }
    }

    private init(reading text: String) throws(PathProblem) {
        guard text.utf8.first == UInt8(ascii: "/") else {
            throw PathProblem("is not an absolute path of a Linux machine")
        }
        steps = try PathSteps(text)
        guard text.utf8.elementsEqual(("/" + steps.text).utf8) else {
            throw PathProblem("is not in its plain form: write it without //, /. and a slash at its end")
        }
    }
}
