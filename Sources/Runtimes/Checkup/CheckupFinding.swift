/// What a look at a machine found in one place.
package struct CheckupFinding: Hashable, Sendable {
    package enum Grade: String, Sendable {
        case ok
        /// It works, and some of it worse than it could; or it could not be looked at.
        case warning
        /// Sandboxes cannot be made, or reach nothing.
        case problem
    }

    package let grade: Grade
    /// What was looked at, in a word or two.
    package let place: String
    package let text: String
    /// What to do about it; nil for `ok` alone, where there is nothing to do.
    package let remedy: String?

    private init(_ grade: Grade, _ place: String, _ text: String, _ remedy: String?) {
        self.grade = grade
        self.place = place
        self.text = text
        self.remedy = remedy
    }

    package static func ok(_ place: String, _ text: String) -> CheckupFinding { .init(.ok, place, text, nil) }

    package static func warning(_ place: String, _ text: String, remedy: String) -> CheckupFinding {
        .init(.warning, place, text, remedy)
    }

    package static func problem(_ place: String, _ text: String, remedy: String) -> CheckupFinding {
        .init(.problem, place, text, remedy)
    }
}
