/// What a look at a machine found in one place.
package struct CheckupFinding: Hashable, Sendable {
    package enum Grade: String, Sendable {
        case ok
        /// It works, and some of it worse than it could; or it could not be looked at.
        case warning
        /// Sandboxes cannot be made, or reach nothing.
        case problem
    }

    package var grade: Grade
    /// What was looked at, in a word or two.
    package var place: String
    package var text: String
    /// What to do about it; nil where there is nothing to do.
    package var remedy: String?

    package init(_ grade: Grade, _ place: String, _ text: String, remedy: String? = nil) {
        self.grade = grade
        self.place = place
        self.text = text
        self.remedy = remedy
    }
}
