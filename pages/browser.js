// Runs before Streamlit's scripts on every page. It corrects what Streamlit's page does not let an app configure: the
// server's address, the language of the document, history entries, the sidebar of a phone, the connection dialog, and
// the content of a page after the sign-out. tests/dashboard/test_page_html.py pins the Streamlit names that it uses.
"use strict";

(() => {
  const BASE_URL = new URL(".", document.currentScript.src).href.replace(/\/$/, "");
  const PHONE_WIDTH_PX = 768; // up to this width, Streamlit's sidebar covers the page
  const CHECK_EVERY_MS = 5000;
  const STREAMLIT_TITLE = "Connection error";
  const SIGNED_OUT = "signed-out";
  const SIDEBAR_LINKS = ["stSidebarNavLink", "stPageLink-NavLink"]
    .map((name) => `[data-testid="stSidebar"] [data-testid="${name}"]`)
    .join(", ");
  const TEXTS = {
    en: {
      title: "No connection to the dashboard",
      body: "The page shows the last data that it received. It reconnects when the server responds again.",
      close: "Close",
    },
    ko: {
      title: "대시보드에 연결할 수 없습니다",
      body: "마지막으로 받은 데이터가 표시됩니다. 서버가 다시 응답하면 자동으로 연결합니다.",
      close: "닫기",
    },
  };

  // Without it, Streamlit asks for /PAGE/_stcore/health first, which is a 404 for each deep link.
  window.__streamlit = { ...window.__streamlit, BACKEND_BASE_URL: BASE_URL };

  // --- language ----------------------------------------------------------------------------------------------------

  /** The language of the page: the one in the address, else the browser's; English if it is not supported. */
  function language() {
    const codes = [new URLSearchParams(location.search).get("lang"), navigator.language.split("-")[0].toLowerCase()];
    return codes.find((code) => code !== null && Object.hasOwn(TEXTS, code)) ?? "en";
  }

  function setLanguage() {
    document.documentElement.lang = language();
  }

  // --- history -----------------------------------------------------------------------------------------------------

  // Streamlit adds an entry for each parameter that a script writes. One action of the user is one entry.
  let hasUserAction = false;
  const { pushState, replaceState } = history;

  history.pushState = (...entry) => {
    (hasUserAction ? pushState : replaceState).apply(history, entry);
    hasUserAction = false;
    setLanguage();
  };
  history.replaceState = (...entry) => {
    replaceState.apply(history, entry);
    setLanguage();
  };
  for (const type of ["pointerdown", "keydown", "click"]) {
    addEventListener(type, () => (hasUserAction = true), { capture: true, passive: true });
  }
  addEventListener("popstate", () => {
    hasUserAction = false;
    setLanguage();
  });

  // --- sidebar of a phone ------------------------------------------------------------------------------------------

  function collapseSidebar() {
    document
      .querySelector('[data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarCollapseButton"] button')
      ?.click();
  }

  addEventListener("click", (event) => {
    // After Streamlit's own handler, which closes the sidebar on the phones that it recognizes.
    if (innerWidth <= PHONE_WIDTH_PX && event.target.closest?.(SIDEBAR_LINKS)) setTimeout(collapseSidebar);
  });

  // --- sign-out ----------------------------------------------------------------------------------------------------

  const otherTabs = new BroadcastChannel("token-tracker");
  let signsOut = false;

  otherTabs.onmessage = (message) => message.data === SIGNED_OUT && location.reload();
  addEventListener("click", (event) => (signsOut ||= Boolean(event.target.closest?.(".st-key-sign_out button"))), true);
  // The page is left when the server has ended the login, so the other tabs get the sign-in page.
  addEventListener("pagehide", () => signsOut && otherTabs.postMessage(SIGNED_OUT));
  // A page that the browser kept in memory shows the data of the ended login.
  addEventListener("pageshow", (event) => event.persisted && location.reload());

  /** Reload if the server refuses this browser: its login expired or was ended in another browser. */
  async function reloadIfRefused() {
    const response = await fetch(`${BASE_URL}/_stcore/host-config`, { cache: "no-store" }).catch(() => null);
    if (response?.status === 401 || response?.status === 403) location.reload();
  }

  // --- connection dialog -------------------------------------------------------------------------------------------

  /** Replace the texts of Streamlit's dialog, which are English and address the developer of an app. */
  function translateDialog() {
    const title = document.querySelector('[data-testid="stDialog"] h2[slot="title"]');
    if (title?.textContent !== STREAMLIT_TITLE) return;
    const texts = TEXTS[language()];
    const body = title.nextElementSibling;
    const replacement = document.createElement("p");
    replacement.className = body.className;
    replacement.textContent = texts.body;
    // React keeps its own nodes: it may write to them again or remove them.
    title.firstChild.nodeValue = texts.title;
    body.style.display = "none";
    body.after(replacement);
    title.parentElement.querySelector(":scope > button")?.setAttribute("aria-label", texts.close);
    reloadIfRefused();
    const timer = setInterval(() => (title.isConnected ? reloadIfRefused() : clearInterval(timer)), CHECK_EVERY_MS);
  }

  new MutationObserver(translateDialog).observe(document, { childList: true, subtree: true });
  setLanguage();
})();
