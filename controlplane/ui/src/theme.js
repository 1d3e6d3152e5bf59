// Sets the theme before the first paint. Classic and external: the page allows neither inline scripts nor a flash of the wrong colours.
(() => {
  let choice = null;
  try {
    choice = localStorage.getItem('sluice.theme');
  } catch {
    // Storage may be forbidden; the system's theme is right then.
  }
  const dark =
    choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
