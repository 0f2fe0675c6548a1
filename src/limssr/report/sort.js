// Tables of the class "sortable": a click on a heading sorts by its column, numbers as numbers, empty cells last.
document.querySelectorAll("table.sortable").forEach((table) => {
  const head = table.tHead.rows[table.tHead.rows.length - 1];
  const body = table.tBodies[0];
  const place = (cell) => Number(cell.dataset.column ?? cell.cellIndex);
  const value = (row, column) => row.cells[column].textContent.trim().replace("\u2212", "-");
  const sort = (cell) => {
    const down = cell.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    const column = place(cell);
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    const number = (text) => Number.parseFloat(text);
    rows.sort(([first], [second]) => {
      const [a, b] = [number(first), number(second)];
      if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
      const order = Number.isNaN(a) ? first.localeCompare(second) : a - b;
      return down ? -order : order;
    });
    rows.forEach(([, row]) => body.append(row));
  };
  table.querySelectorAll("thead th").forEach((cell) => {
    if (cell.colSpan > 1 || (cell.parentNode !== head && cell.rowSpan === 1)) return;
    cell.tabIndex = 0;
    cell.classList.add("sorts");
    cell.addEventListener("click", () => sort(cell));
    cell.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort(cell);
    });
  });
});
