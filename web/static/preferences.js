// Read before the first paint (a plain script, not a module), so that large type does not jump in.
// @ts-check
{
  let type = ""
  try {
    type = localStorage.getItem("type") ?? ""
  } catch {
    // storage switched off: the page is simply shown at its usual size
  }
  if (type === "large") document.documentElement.dataset.type = "large"
}
