// Runs before anything is drawn, so that nothing flickers: takes the token, the language and the look out of the first
// address. That address is the only way in which they come: each run of Minka has a port, and so an origin, of its own.

(() => {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has("token")) {
    sessionStorage.setItem("minka.token", given.get("token"));
    for (const name of ["language", "theme"]) {
      if (given.has(name)) localStorage.setItem(`minka.${name}`, given.get(name));
    }
    history.replaceState(null, "", location.pathname);
  }
  const theme = localStorage.getItem("minka.theme");
  if (theme) document.querySelector("#dark").media = theme === "dark" ? "all" : "not all";
})();
