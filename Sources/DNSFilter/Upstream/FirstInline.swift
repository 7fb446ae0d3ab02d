/// An array whose first element is stored inline, for lists that nearly always have one element.
struct FirstInline<Element>: RandomAccessCollection, MutableCollection {
    private var first: Element?
    private var others: [Element] = []

    init() {}

    var startIndex: Int { 0 }
    var endIndex: Int { first == nil ? 0 : 1 + others.count }

    subscript(index: Int) -> Element {
        get { index == 0 ? first! : others[index - 1] }
        set {
            if index == 0 { first = newValue } else { others[index - 1] = newValue }
        }
    }

    mutating func append(_ element: Element) {
        if first == nil { first = element } else { others.append(element) }
    }

    mutating func removeAll(where isGone: (Element) -> Bool) {
        others.removeAll(where: isGone)
        guard let first, isGone(first) else { return }
        self.first = others.isEmpty ? nil : others.removeFirst()
    }
}

extension FirstInline: Sendable where Element: Sendable {}
