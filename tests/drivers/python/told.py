"""What pgweir says became of each query: with `pgweir.explain = on` it comes as a notice."""
import re


class Told:
    def __init__(self, connection):
        self.last = []
        connection.add_notice_handler(lambda notice: self.last.append(notice.message_primary))
        connection.execute("SET pgweir.explain = on")
        self.failures = 0

    def check(self, label, read, expected="hit"):
        """Reads twice; what came of the second time has to be as expected."""
        try:
            first = read()
            self.last.clear()
            second = read()
        except Exception as error:
            self.failures += 1
            print(f"{label}: {error}")
            return
        said = [re.match(r"pgweir: (\w+)", text) for text in self.last]
        reasons = {match[1] for match in said if match}
        if first != second or reasons != {expected}:
            self.failures += 1
            print(f"{label}: {self.last}, expected {expected}; {first != second and 'another answer' or ''}")
