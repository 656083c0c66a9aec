package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/text/encoding/japanese"
)

// Words of the corpus, frequent ones first. The words that searches look for are not among them.
var (
	englishWords = strings.Fields(`the to and of a in we is for you on that it with this be have will are as please at from or
		our your not can if by me all was meeting project team next week update time new need know see let us about would
		thanks could attached report today review change customer version release order number server system question
		answer problem test data plan budget contract delivery schedule price office address phone call message file
		document draft final table summary result value request response account service support order payment shipment
		product quality design market strategy partner supplier travel hotel flight train conference room agenda minutes
		decision deadline milestone risk issue ticket bug patch branch merge build deploy monitor alert metric latency
		database backup restore certificate password security policy audit access login session network firewall router
		printer laptop keyboard monitor battery cable warranty repair spare part factory machine sensor valve pump motor
		temperature pressure voltage current frequency measurement calibration tolerance drawing assembly inspection`)
	germanWords = strings.Fields(`der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an
		werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber
		vor zur bis mehr durch man sein wurde Besprechung Projekt Änderung Grüße Termin Rückmeldung Angebot Lieferung Stückzahl
		Prüfung Maß Größe Überprüfung Straße Büro Schlüssel Verträge Müller möglich nötig später früher heute morgen Woche
		Anhang Unterlagen Vorschlag Freigabe Bestellung Zahlung Kunde Werk Maschine Fräse Getriebe Welle Gehäuse`)
	frenchWords = strings.Fields(`le de un être et à il avoir ne je son que se qui ce dans en du elle au pour pas plus par sur
		faire dire avec tout on mais nous comme votre réunion projet équipe semaine prochaine été déjà très après où même
		contrat livraison qualité mesure pièce usine délai échéance bientôt français société marché conférence décision
		problème réponse question dossier bureau rendez-vous café élève forêt hôtel août noël cœur façon reçu`)
	japaneseWords = strings.Fields(`会議 予定 来週 今週 資料 添付 確認 連絡 お願い ありがとう ございます よろしく いたします について
		打ち合わせ 変更 納期 仕様 図面 検査 品質 製品 部品 工場 生産 出荷 在庫 注文 顧客 担当 部長 課長 株式会社 東京 大阪 名古屋
		京都 出張 新幹線 ホテル 会場 議事録 報告 問題 対応 修正 試験 結果 評価 改善 提案 計画 予算 契約 価格 支払 請求 経理 総務
		システム サーバー ネットワーク データ メール ファイル パスワード セキュリティ プロジェクト スケジュール ください ました`)
	syllables = strings.Fields(`ba bel cor dan dor el fen gar hol in jor kar lem mar nor ol per quin ros sal tar ur ven wol yar zen`)
)

var greetings = map[language]string{
	english: "Dear colleague, this is about no.", german: "Sehr geehrte Damen und Herren, zu Vorgang", french: "Bonjour, au sujet du dossier",
	jis: "お世話になっております。件番", japanese8: "お世話になっております。件番", raw: "いつもありがとうございます。番号",
}

var (
	givenNames = strings.Fields(`Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Klara Leo Mia Noah Olga Paul Rosa Simon Tina Victor`)
	surnames   = strings.Fields(`Abel Baker Carter Dubois Evans Fischer Garcia Hansen Ito Jansen Keller Larsen Moreau Novak Olsen Petrov Rossi Schmidt Tanaka Weber`)
	kanjiNames = strings.Fields(`山田太郎 佐藤花子 鈴木一郎 高橋健 田中美咲 伊藤翔 渡辺直樹 中村愛 小林誠 加藤由美`)
)

// sentence is n words, frequent ones more often. One in twelve is a word of no language, as names of things are.
func sentence(r *rand.Rand, words []string, n int, space string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(space)
		}
		if r.IntN(12) > 0 {
			b.WriteString(words[skewed(r, len(words))])
			continue
		}
		for range 2 + r.IntN(3) {
			b.WriteString(syllables[r.IntN(len(syllables))])
		}
	}
	return b.String()
}

// person is an address with a name, as it stands in a header. One in ten has a Japanese name.
func person(i int) string {
	if i%10 == 9 {
		name := kanjiNames[i/10%len(kanjiNames)]
		if i%20 == 9 {
			octets, _ := japanese.ISO2022JP.NewEncoder().String(name)
			return encodedWord("ISO-2022-JP", octets) + " <" + address(i) + ">"
		}
		return encodedWord("UTF-8", name) + " <" + address(i) + ">"
	}
	return fmt.Sprintf("%s %s <%s>", givenNames[i%20], surnames[i/20%20], address(i))
}

// address of a person. No address is part of another.
func address(i int) string { return fmt.Sprintf("person%03d@example.com", i) }
